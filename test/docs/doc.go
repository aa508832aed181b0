// Package docs runs the documents. Every command, configuration, template, log
// line and name in README.md and docs is tried, through the program itself, in
// network namespaces.
//
//	document_test.go   what a document is made of: blocks, spans, tables, links
//	machine_test.go    the computer that the documents speak of, and its files
//	commands_test.go   what a person types
//	booting_test.go    machines and DHCP servers that make the program log
//	scenes_test.go     what they do, scene by scene
//	log_test.go        log lines, as quoted and as listed in docs/log.md
//	secureboot_test.go docs/secure-boot.md, with machines that boot what it signs
//	names_test.go      flags, variables, keys, placeholders, links
//	code_test.go       packages, files and functions
package docs
