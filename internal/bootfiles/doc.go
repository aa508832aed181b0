// Package bootfiles is the boot files: the tree that TFTP and HTTP serve, and
// what each client sees of it.
//
//	tree.go        the boot file tree, made of layers
//	generated.go   files that are kept in memory
//	files.go       the tree in force, and what each client sees of it
package bootfiles
