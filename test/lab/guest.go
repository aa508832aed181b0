package lab

// Guests: QEMU machines with real firmware that boot from the network, and have
// nothing else to boot from.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Guest describes a machine.
type Guest struct {
	// Name is unique in the lab.
	Name     string
	Firmware Firmware
	// NIC is QEMU's name of the network card; empty means virtio-net-pci.
	NIC string
	// OptionROM is the path of the card's option ROM (see IPXE.OptionROM). If
	// it is empty, UEFI boots with its own driver, and BIOS cannot boot.
	OptionROM string
	// MAC is chosen by the lab if it is empty.
	MAC string
	// Variables is the path of the UEFI's variables (see Stock.NewVariables);
	// empty means those that the firmware comes with. The guest gets a copy.
	Variables string
	// HTTP makes UEFI firmware boot by HTTP instead of PXE.
	HTTP bool
	// Memory is in MiB; 0 means enough. UEFI always gets at least what it
	// needs.
	Memory int
	// Disk is a local disk (see Lab.NewDisk), tried after the network; empty
	// means none.
	Disk string
	// RebootAfter makes BIOS start over, this long after it found nothing to
	// boot; 0 means that it stops.
	RebootAfter time.Duration
	// Restarts lets the machine start over when it resets itself. Otherwise a
	// reset switches it off.
	Restarts bool
	// Local excludes the network card from the devices that the machine boots
	// from.
	Local bool
	// Segment is where the machine is connected; nil means the LAN.
	Segment *Segment
}

// Machine is a guest that was switched on.
type Machine struct {
	Guest
	UUID string
	// Accelerator is "kvm" or "tcg".
	Accelerator string
	Started     time.Time

	lab     *Lab
	console string
	keys    net.Conn
	program *Program
}

// kvmTrial is how long a guest on KVM is watched for a failure of KVM itself.
const kvmTrial = 8 * time.Second

// guestNice is the guests' nice value. Servers and the tests come before
// emulated machines, however many there are.
const guestNice = "5"

// Boot switches a guest on. It uses KVM for UEFI if KVM works. BIOS is
// emulated, because nested virtualization often fails in its real mode, and its
// work is short.
func (l *Lab) Boot(ctx context.Context, g Guest) (*Machine, error) {
	if g.Segment == nil {
		g.Segment = l.LAN
	}
	if g.Firmware == BIOS && g.OptionROM == "" {
		return nil, fmt.Errorf("guest %s: BIOS boots from the network by an option ROM only", g.Name)
	}
	if g.MAC == "" {
		l.mu.Lock()
		l.machines++
		g.MAC = fmt.Sprintf("52:54:00:%s:%s:%02x", l.ID[:2], l.ID[2:4], l.machines)
		l.mu.Unlock()
	}
	m := &Machine{Guest: g, lab: l, console: l.Path("console-" + g.Name)}
	m.UUID = "6c61622d-0000-4000-8000-" + strings.ReplaceAll(g.MAC, ":", "")
	l.Name(g.MAC, g.Name)
	if l.tryKVM(g) {
		works, err := m.start(ctx, "kvm")
		if err != nil || works {
			return m, err
		}
		l.Stock.kvmFails.Store(true)
	}
	_, err := m.start(ctx, "tcg")
	return m, err
}

// tryKVM reports whether a guest may be started with KVM.
func (l *Lab) tryKVM(g Guest) bool {
	if g.Firmware != OVMF64 && g.Firmware != OVMF32 && g.Firmware != Secure64 || l.Stock.kvmFails.Load() {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// start runs QEMU. With KVM it also waits until the guest is past the point
// where a broken KVM fails.
func (m *Machine) start(ctx context.Context, accelerator string) (works bool, err error) {
	tap, err := m.Segment.newTap()
	if err != nil {
		return false, err
	}
	args, err := m.arguments(ctx, accelerator, tap)
	if err != nil {
		return false, err
	}
	binary := "qemu-system-x86_64"
	if m.Firmware == AArch64 || m.Firmware == SecureAArch64 || m.Firmware == UBoot {
		binary = "qemu-system-aarch64"
	}
	m.Accelerator, m.Started = accelerator, time.Now()
	m.program, err = m.Segment.Host.Start(Command{Name: "qemu-" + m.Name, Path: "nice", Args: append([]string{"-n", guestNice, binary}, args...)})
	if err != nil {
		return false, err
	}
	if accelerator == "kvm" {
		trial, cancel := context.WithTimeout(ctx, kvmTrial)
		defer cancel()
		if _, err := m.program.Stderr.Await(trial, "KVM internal error"); err == nil || m.exited() {
			m.program.Stop()
			return false, nil
		}
	}
	if err := m.plugKeyboard(ctx); err != nil {
		return false, err
	}
	m.lab.note(m.Started, m.Name, "switched on: %s, %s", m.describe(), strings.ToUpper(accelerator))
	return true, nil
}

// describe returns what kind of machine it is.
func (m *Machine) describe() string {
	text := string(m.Firmware)
	if m.OptionROM != "" {
		text += " with a bundled iPXE"
	}
	if m.HTTP {
		text += ", HTTP boot"
	}
	return text
}

// exited reports whether QEMU has ended.
func (m *Machine) exited() bool {
	select {
	case <-m.program.Ended():
		return true
	default:
		return false
	}
}

// arguments returns the arguments of QEMU.
func (m *Machine) arguments(ctx context.Context, accelerator, tap string) ([]string, error) {
	nic := m.NIC
	if nic == "" {
		nic = "virtio-net-pci"
	}
	card := nic + ",netdev=net0,mac=" + m.MAC + ",romfile=" + m.OptionROM
	if !m.Local {
		card += ",bootindex=1"
	}
	if nic == "virtio-net-pci" {
		// Option ROMs carry the id of the modern device. QEMU corrects ids only
		// in ROMs that it chooses itself.
		card += ",disable-legacy=on"
	}
	args := []string{"-accel", accelerator, "-nodefaults", "-no-user-config", "-display", "none",
		"-uuid", m.UUID, "-serial", "chardev:console",
		"-chardev", "socket,id=console,server=on,wait=off,abstract=on,path=" + m.keyboard() + ",logfile=" + m.console,
		"-netdev", "tap,id=net0,script=no,downscript=no,ifname=" + tap, "-device", card}
	if m.RebootAfter > 0 {
		args = append(args, "-boot", fmt.Sprint("reboot-timeout=", m.RebootAfter.Milliseconds()))
	} else if !m.Restarts {
		args = append(args, "-no-reboot")
	}
	if m.Disk != "" {
		args = append(args, "-drive", "if=none,id=disk0,format=raw,file="+m.Disk, "-device", "ide-hd,drive=disk0,bootindex=2")
	}
	memory := m.Memory
	switch m.Firmware {
	case BIOS:
		// Without graphics SeaBIOS sends its text output, and iPXE's, to the
		// serial port.
		args = append(args, "-machine", "pc,graphics=off")
		if memory == 0 {
			memory = 128
		}
	case OVMF64:
		args = append(args, "-machine", "q35", "-cpu", x86CPU(accelerator))
		memory = max(memory, 256)
	case OVMF32, Secure64:
		// These builds store their variables in SMM.
		args = append(args, "-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-cpu", x86CPU(accelerator))
		memory = max(memory, 256)
	case AArch64, SecureAArch64, UBoot:
		args = append(args, "-machine", "virt", "-cpu", "cortex-a57")
		memory = max(memory, 512)
	default:
		return nil, fmt.Errorf("guest %s: unknown firmware %q", m.Name, m.Firmware)
	}
	args = append(args, "-m", fmt.Sprint(memory))
	switch m.Firmware {
	case BIOS:
		return args, nil
	case UBoot:
		image, err := m.lab.Stock.uBoot(ctx)
		return append(args, "-bios", image), err
	case OVMF64, Secure64, OVMF32, AArch64, SecureAArch64:
	}
	uefi, err := m.uefi(ctx)
	return append(args, uefi...), err
}

// x86CPU returns the processor model: the host's own, or the one with every
// emulated feature.
func x86CPU(accelerator string) string {
	if accelerator == "kvm" {
		return "host"
	}
	return "max"
}

// uefi returns the arguments for the firmware's flash, with variables of the
// guest's own, and for the protocols that it may try.
func (m *Machine) uefi(ctx context.Context) ([]string, error) {
	files, err := m.lab.Stock.flash(ctx, m.Firmware)
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", m.Name, err)
	}
	template, err := os.ReadFile(cmp.Or(m.Variables, files.vars))
	if err != nil {
		return nil, fmt.Errorf("guest %s: %w", m.Name, err)
	}
	vars := m.lab.Path("vars-" + m.Name)
	if err := os.WriteFile(vars, template, 0o600); err != nil {
		return nil, fmt.Errorf("guest %s: %w", m.Name, err)
	}
	args := []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + files.code,
		"-drive", "if=pflash,format=raw,unit=1,file=" + vars,
		"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
	}
	if m.HTTP {
		// With PXE switched off the card's only IPv4 boot option is HTTP.
		args = append(args, "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n")
	}
	return args, nil
}

// escapes matches the terminal's control sequences, and control characters
// other than line ends.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x09\x0b-\x1f]`)

// Console returns what the machine has written on its screen so far, as plain
// lines.
func (m *Machine) Console() string {
	text, err := os.ReadFile(m.console)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(escapes.ReplaceAllString(string(text), "")) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// AwaitConsole waits until the machine has written one of the texts on its
// screen, within one line. It does not mind doubled characters.
func (m *Machine) AwaitConsole(ctx context.Context, texts ...string) error {
	return poll(ctx, fmt.Sprintf("%s to write %q", m.Name, texts), func() (bool, error) {
		if m.exited() {
			return false, errGuestEnded
		}
		console := Squeezed(m.Console())
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(console, Squeezed(text)) }), nil
	})
}

// Squeezed returns a text with one of each run of a character. On a busy
// machine, edk2 now and then writes a character twice on the serial console
// ("start itt with"); squeezed texts are equal then, too.
func Squeezed(text string) string {
	return string(slices.Compact([]rune(text)))
}

// errGuestEnded is the error of a wait for a machine that ended by itself.
var errGuestEnded = errors.New("the machine ended by itself")

// Script waits until the machine's boot script reports.
func (m *Machine) Script(ctx context.Context) (Evidence, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-m.program.Ended():
			cancel(errGuestEnded)
		case <-ctx.Done():
		}
	}()
	return m.lab.Collector.Await(ctx, m.MAC)
}

// Stop switches the machine off.
func (m *Machine) Stop() { m.program.Stop() }

// Trouble returns the output of QEMU itself.
func (m *Machine) Trouble() string { return m.program.Output.String() }
