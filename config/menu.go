package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// What an item of a menu may give instead of a file.
const (
	itemROM       = "rom"
	itemLocalDisk = "local-disk"
)

// menu is the boot menu that PXE firmware shows by itself.
type menu struct {
	prompt  string
	timeout uint8 // seconds
	items   []menuItem
}

// menuItem is a line of the menu.
type menuItem struct {
	text string
	file string // a file, itemROM or itemLocalDisk
}

// menu parses the boot menu, nil if there is none. answers are those of all
// segments.
func (p *parser) menu(answers []Answers) *menu {
	s := p.settings
	if len(s.Menu) == 0 {
		return nil
	}
	if s.MenuTimeout < 0 || s.MenuTimeout > proxydhcp.WaitForChoice {
		p.Add("menu-timeout", fmt.Sprint(s.MenuTimeout), fmt.Errorf("not between 0 and %d seconds (%d waits for somebody to choose)", proxydhcp.WaitForChoice, proxydhcp.WaitForChoice))
	}
	m := &menu{prompt: s.MenuPrompt, timeout: uint8(s.MenuTimeout)}
	for _, item := range s.Menu {
		text, file, ok := strings.Cut(item, "=")
		m.items = append(m.items, menuItem{text, file})
		if !ok || text == "" || file == "" {
			p.Add("menu", item, errors.New("write TEXT=FILE, TEXT=rom or TEXT=local-disk"))
			continue
		}
		_, err := ParseBootName(file)
		p.Add("menu", item, err)
	}
	var nextServer netip.Addr // any: with one, an item takes more room
	for _, a := range answers {
		if a.NextServer.IsValid() {
			nextServer = a.NextServer
		}
	}
	p.Add("menu", strings.Join(s.Menu, "; "), m.forROM("rom.efi", nextServer).Check())
	return m
}

// forROM returns the menu for the machines that get a ROM. nextServer has the
// files; it is invalid for ourselves.
func (m *menu) forROM(rom string, nextServer netip.Addr) *proxydhcp.Menu {
	out := &proxydhcp.Menu{Prompt: m.prompt, Timeout: m.timeout}
	for i, item := range m.items {
		next := proxydhcp.MenuItem{Type: proxydhcp.FirstItemType + uint16(i), Text: item.text, File: item.file, NextServer: nextServer}
		switch item.file {
		case itemROM:
			next.File = rom
		case itemLocalDisk:
			next = proxydhcp.MenuItem{Type: proxydhcp.LocalDiskItem, Text: item.text}
		}
		out.Items = append(out.Items, next)
	}
	return out
}
