package config

// Which ROMs the policy itself would replace. A machine that runs such a ROM
// would be handed it again for ever.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// checkROMs returns an error for the ROMs of a segment that the policy would
// replace, as far as the files say what they are. An EFI ROM is an error. A
// packed BIOS ROM is a warning: on the wire, the loop ends after one download.
// ROMs that lack the same are reported together.
func (s segment) checkROMs(policy *proxydhcp.Policy) (warnings []string, err error) {
	var order []proxydhcp.Unmet
	lacking := map[proxydhcp.Unmet][]ROM{}
	for _, r := range s.files.ROMs {
		running := r.IPXE
		running.Present = true
		unmet := policy.Rejects(s.Scope, r.Platform, running)
		switch {
		case unmet == (proxydhcp.Unmet{}):
			continue
		case r.Packed:
			warnings = append(warnings, s.rejection([]ROM{r}, unmet, "so the machines that run it are given the boot script as they are"))
			continue
		case lacking[unmet] == nil:
			order = append(order, unmet)
		}
		lacking[unmet] = append(lacking[unmet], r)
	}
	var errs []error
	for _, unmet := range order {
		errs = append(errs, errors.New(s.rejection(lacking[unmet], unmet, "so the machines that run it would be handed it again for ever")))
	}
	return warnings, errors.Join(errs...)
}

// rejection returns the text for ROMs that the policy would replace: what they
// lack, what follows, and what the user can do.
func (s segment) rejection(roms []ROM, unmet proxydhcp.Unmet, consequence string) string {
	var sources, without []string
	remark := ""
	for _, r := range roms {
		sources = append(sources, fmt.Sprintf("%s (%s)", r.chain(), r.Platform))
		without = append(without, fmt.Sprintf("--rom %s=%s", r.Platform, noROM))
		if text := versionRemark(r); unmet.Version && text != "" {
			remark = text
		}
	}
	rebuild, less := "rebuild with what is wanted", "demand less"
	if unmet.Version {
		less += fmt.Sprintf(" (--ipxe-version %s)", autoVersion)
	}
	if v, ok := s.demands.match.Version.Example(); ok {
		rebuild = fmt.Sprintf("rebuild with make VERSION_MAJOR=%d VERSION_MINOR=%d VERSION_PATCH=%d and what else is wanted", v[0], v[1], v[2])
	}
	return fmt.Sprintf("ROM %s: %s%s, %s: %s, %s, or leave it out (%s)",
		strings.Join(sources, ", "), unmet.Text, remark, consequence, rebuild, less, strings.Join(without, " "))
}

// chain returns the ROM's file on this host, and what it loads.
func (r ROM) chain() string {
	if r.SecondStage == "" {
		return r.Source
	}
	return r.Source + " with " + r.SecondStage
}

// versionRemark returns what explains a version that is not accepted: iPXE 1.x
// built outside a git clone reports 1.0.0, whatever its release (see iPXE's
// src/Makefile, VERSION_MAJOR). It returns "" if the version is as it seems.
func versionRemark(r ROM) string {
	reported := r.IPXE.Version
	switch {
	case r.VersionText != "" && !strings.HasPrefix(r.VersionText, reported.String()):
		return fmt.Sprintf(" (it calls itself %s, but iPXE 1.x built outside a git clone reports 1.0.0 in DHCP, and DHCP is all there is to go by)", r.VersionText)
	case reported == (proxydhcp.Version{1, 0, 0}):
		return " (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself)"
	}
	return ""
}
