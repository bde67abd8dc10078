package cloudhsmcli

import (
	"context"

	"keyward/internal/hsmproto"
)

// activateCommand is `cluster activate` (cloudhsm-cli.md section 5).
type activateCommand struct {
	Password *string `placeholder:"PASSWORD" help:"Asked for twice when left out."`
}

func (a *activateCommand) run(ctx context.Context, s *session) (any, error) {
	if err := s.refuseActivated(ctx); err != nil {
		return nil, err
	}
	password, err := s.newPassword(a.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	if err := s.cluster.Activate(ctx, password); err != nil {
		return nil, err
	}
	return "Cluster activation successful", nil
}

// refuseActivated saves typing a password in vain.
func (s *session) refuseActivated(ctx context.Context) error {
	infos, err := s.cluster.Info(ctx)
	if err != nil {
		return err
	}
	if infos[0].Activated {
		return &hsmproto.Error{Code: hsmproto.CodeActivated}
	}
	return nil
}

// hsmInfoCommand is `cluster hsm-info`. It needs no login.
type hsmInfoCommand struct{}

type hsmList struct {
	Hsms []listedHsm `json:"hsms"`
}

type listedHsm struct {
	Vendor        string `json:"vendor"`
	Model         string `json:"model"`
	Serial        string `json:"serial-number"`
	HardwareMajor string `json:"hardware-version-major"`
	HardwareMinor string `json:"hardware-version-minor"`
	FirmwareMajor string `json:"firmware-version-major"`
	FirmwareMinor string `json:"firmware-version-minor"`
	FirmwareBuild string `json:"firmware-build-number"`
	FirmwareID    string `json:"firmware-id"`
	FIPSState     string `json:"fips-state"`
}

func (*hsmInfoCommand) run(ctx context.Context, s *session) (any, error) {
	infos, err := s.cluster.Info(ctx)
	if err != nil {
		return nil, err
	}
	list := hsmList{Hsms: make([]listedHsm, len(infos))}
	for i, info := range infos {
		list.Hsms[i] = listedHsm{
			Vendor:        info.Vendor,
			Model:         info.Model,
			Serial:        info.Serial,
			HardwareMajor: info.HardwareMajor,
			HardwareMinor: info.HardwareMinor,
			FirmwareMajor: info.FirmwareMajor,
			FirmwareMinor: info.FirmwareMinor,
			FirmwareBuild: info.FirmwareBuild,
			FirmwareID:    info.FirmwareID,
			FIPSState:     info.FIPSState,
		}
	}
	return list, nil
}
