// Package bootfiles has the boot files: it opens those that a configuration
// names, and serves each client what it should see of them.
//
//	open.go        Open: the boot files of a configuration
//	roms.go        which ROM each platform gets
//	scripts.go     which boot script, and the generated ones
//	tree.go        the boot file tree, made of layers
//	directory.go   a directory of this host
//	generated.go   files that are kept in memory
//	files.go       the files as they are served now
package bootfiles
