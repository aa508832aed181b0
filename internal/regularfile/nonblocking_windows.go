package regularfile

// nonblocking does nothing: a path of a file system is no pipe here.
const nonblocking = 0
