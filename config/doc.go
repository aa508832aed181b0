// Package config turns the text that the user wrote into typed values, and
// these into a policy. It does no I/O. A program that serves calls
//
//	cfg, err := config.Parse(settings, interfaces)   // the text
//	files, err := bootfiles.Open(cfg, "/", version)  // the files that it names
//	policy, warnings, err := cfg.Policy(files.Segments)
//
// Each call reports everything that is wrong at once.
//
//	settings.go     the settings as text
//	flags.go        the table of flags
//	file.go         the configuration file
//	print.go        settings written as a configuration file
//	problems.go     the list of what is wrong
//	parse.go        Parse
//	listeners.go    where TFTP and HTTP listen, and what is logged
//	interfaces.go   where DHCP is answered
//	segments.go     parts of the network with answers of their own
//	rules.go        the rules of the file
//	menu.go         the boot menu
//	values.go       the parsers of single values
//	policy.go       the rules of the policy
//	romcheck.go     which ROMs the policy would replace
package config
