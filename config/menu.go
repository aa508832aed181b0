package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Boot menus, which PXE firmware shows by itself.

// What an item may give in place of a file.
const (
	itemROM       = "rom"
	itemLocalDisk = "local-disk"
)

// menu is the boot menu of the settings for one platform; nil where there is
// none.
func (s Settings) menu(rom string) *proxydhcp.Menu {
	if len(s.Menu) == 0 {
		return nil
	}
	m := &proxydhcp.Menu{Prompt: s.MenuPrompt, Timeout: uint8(s.MenuTimeout)}
	for i, item := range s.Menu {
		text, file, _ := strings.Cut(item, "=")
		next := proxydhcp.MenuItem{Type: proxydhcp.FirstItemType + uint16(i), Text: text, File: file}
		switch file {
		case itemROM:
			next.File = rom
		case itemLocalDisk:
			next.Type, next.File = proxydhcp.LocalDiskItem, ""
		}
		m.Items = append(m.Items, next)
	}
	return m
}

// checkMenu finds what is wrong with the menu.
func (s Settings) checkMenu(p reporter) {
	if len(s.Menu) == 0 {
		return
	}
	if s.MenuTimeout < 0 || s.MenuTimeout > proxydhcp.WaitForChoice {
		p.add("menu-timeout", fmt.Sprint(s.MenuTimeout), fmt.Errorf("not between 0 and %d seconds (%d waits for somebody to choose)", proxydhcp.WaitForChoice, proxydhcp.WaitForChoice))
	}
	for _, item := range s.Menu {
		text, file, ok := strings.Cut(item, "=")
		if !ok || text == "" || file == "" {
			p.add("menu", item, errors.New("write TEXT=FILE, TEXT=rom or TEXT=local-disk"))
			continue
		}
		if _, err := parseBootName(file); err != nil {
			p.add("menu", item, err)
		}
	}
	p.add("menu", strings.Join(s.Menu, "; "), s.menu("rom.efi").Check())
}

// menuRules give PXE firmware the menu, for each platform its own, because
// their ROMs differ. An iPXE that they meet gets the script.
func (a answers) menuRules(s Settings) []proxydhcp.Rule {
	var rules []proxydhcp.Rule
	for _, r := range a.roms {
		m := a.scope
		m.Platforms, m.Firmware = []proxydhcp.Platform{r.Platform}, proxydhcp.UEFIFirmware
		if r.Platform == proxydhcp.BIOS {
			m.Firmware = proxydhcp.BIOSFirmware
		}
		if menu := s.menu(r.Name); menu != nil {
			rules = append(rules, proxydhcp.Rule{Name: ruleMenu, Match: m, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootMenu, Menu: menu, File: a.script, NextServer: a.nextServer}})
		}
	}
	return rules
}

// boardRules give boards that are no PCs what they look for, where the boot
// files have it.
func (a answers) boardRules(has func(name string) bool) []proxydhcp.Rule {
	for _, name := range []string{"bootcode.bin", "config.txt", "start4.elf"} {
		if has(name) {
			m := a.scope
			m.Firmware = proxydhcp.RaspberryPi
			return []proxydhcp.Rule{{Name: ruleRaspberryPi, Match: m, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: "bootcode.bin", NextServer: a.nextServer}}}
		}
	}
	return nil
}
