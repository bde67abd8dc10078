package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"keyward/internal/cloudhsm"
	"keyward/internal/hsmproto"
)

// Limits of a process.
const (
	bootTime  = 30 * time.Second // from its start until it serves
	stopTime  = 5 * time.Second  // to end in good order
	maxHello  = 64 << 10         // bytes of a line that it says
	maxHellos = 4                // lines that wait to be heard
)

// process is one run of an HSM.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	log    *logFile
	hellos chan hsmproto.BootHello // what it says; closed when it says no more
	exited chan struct{}           // closed when it is dead
	status error                   // how it ended; set before exited is closed
}

// origin is what a new HSM starts as; the zero value stands for one that has its folder.
type origin struct {
	create hsmproto.Create
	backup string // file to restore from
}

// start starts the HSM's process and goes through the boot dialogue. The process is dead when there is an error.
func (u *unit) start(ctx context.Context, o origin) (*process, cloudhsm.Hardware, error) {
	p, err := u.spawn()
	if err != nil {
		return nil, cloudhsm.Hardware{}, fmt.Errorf("starting HSM %s: %w", u.machine.HsmID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	hardware, err := u.boot(ctx, p, o)
	if err != nil {
		p.kill()
		return nil, cloudhsm.Hardware{}, fmt.Errorf("starting HSM %s: %w", u.machine.HsmID, err)
	}
	return p, hardware, nil
}

func (u *unit) spawn() (*process, error) {
	f := u.fleet
	// The id is for people who look at the process list; the HSM learns who it is over its standard input.
	args := append(slices.Clone(f.config.Executable[1:]), u.machine.HsmID)
	cmd := exec.Command(f.config.Executable[0], args...)
	cmd.Env = environment()
	// A group of its own: Ctrl-C in a terminal is for this process, which then ends the HSMs in good order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &process{
		cmd: cmd, log: &logFile{path: filepath.Join(f.folder(u.machine.HsmID), "hsm.log")},
		hellos: make(chan hsmproto.BootHello, maxHellos), exited: make(chan struct{}),
	}
	cmd.Stderr = p.log
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.attend(stdout)
	return p, nil
}

// environment is ours without what is none of an HSM's business.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "KEYWARD_SEAL")
	})
}

// attend hears what the process says, until it dies.
func (p *process) attend(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, maxHello)
	for lines.Scan() {
		var hello hsmproto.BootHello
		if json.Unmarshal(lines.Bytes(), &hello) != nil {
			continue // not of the dialogue
		}
		select {
		case p.hellos <- hello:
		default: // nobody listens any longer
		}
	}
	close(p.hellos)
	_, _ = io.Copy(io.Discard, stdout) // after a line that was too long
	p.status = p.cmd.Wait()
	_ = p.log.Close()
	close(p.exited)
}

// kill ends the process at once. It is dead on return.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it is dead already
	<-p.exited
}

// stop asks the process to end, and makes it when it does not. It is dead on return.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is dead already
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.kill()
	}
}

// boot goes through the dialogue of hsmproto/boot.go.
func (u *unit) boot(ctx context.Context, p *process, o origin) (hardware cloudhsm.Hardware, err error) {
	if err := u.introduce(p, o); err != nil {
		return hardware, err
	}
	for {
		var hello hsmproto.BootHello
		var open bool
		select {
		case hello, open = <-p.hellos:
		case <-ctx.Done():
			return hardware, fmt.Errorf("waiting for it to be ready: %w", context.Cause(ctx))
		}
		switch {
		case !open:
			return hardware, errors.New("it ended without a word")
		case hello.BadBackup:
			return hardware, &cloudhsm.BadBackup{Reason: hello.Error}
		case hello.Error != "":
			return hardware, errors.New(hello.Error)
		case hello.Ready:
			return hardware, nil
		}
		hardware, err = u.fleet.config.Authority.CertifyHardware(u.machine.Node, hello.HardwareKey)
		if err != nil {
			return hardware, err
		}
		certificates := hsmproto.BootCertificates{Provider: hardware.Provider, Manufacturer: hardware.Manufacturer}
		if err := p.say(certificates); err != nil {
			return hardware, err
		}
	}
}

// introduce tells the process who it is.
func (u *unit) introduce(p *process, o origin) error {
	m, f := u.machine, u.fleet
	platform, err := f.config.PlatformSecret(m.HsmID)
	if err != nil {
		return fmt.Errorf("deriving its platform secret: %w", err)
	}
	defer clear(platform)
	share, err := f.config.PlatformSecret(backupsShare)
	if err != nil {
		return fmt.Errorf("deriving the share of backups: %w", err)
	}
	defer clear(share)
	return p.say(hsmproto.BootConfig{
		HsmID: m.HsmID, ClusterID: m.ClusterID, Node: m.Node, Address: m.Address, Dir: f.folder(m.HsmID),
		HsmType: m.HsmType, Mode: m.Mode, PlatformSecret: platform,
		ProviderRoot: f.config.Authority.ProviderRoot(), ManufacturerRoot: f.config.Authority.ManufacturerRoot(),
		ProviderShare: share, Area: f.area(), Create: o.create, Backup: o.backup,
	})
}

// say writes one line of the dialogue.
func (p *process) say(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	defer clear(line) // it may hold the platform secret
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("speaking to it: %w", err)
	}
	return nil
}
