package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"keyward/internal/server"
)

// clockCommand is `keyward clock …`.
type clockCommand struct {
	Advance clockAdvance `cmd:"" help:"Move the clock forward, for example by 30d or 36h."`
	Show    clockShow    `cmd:"" default:"1" help:"Print the installation's time."`
}

type clockAdvance struct {
	By   string `arg:"" help:"How far: a number of days (30d), or a duration such as 36h or 90m."`
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

type clockShow struct {
	Data string `help:"The installation's folder." default:"./keyward-data" env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run moves the clock.
func (c *clockAdvance) Run(ctx context.Context, env Env) error {
	by, err := parseSpan(c.By)
	if err != nil {
		return err
	}
	return moveClock(ctx, env, c.Data, by)
}

// Run prints the time.
func (c *clockShow) Run(ctx context.Context, env Env) error { return moveClock(ctx, env, c.Data, 0) }

func moveClock(ctx context.Context, env Env, data string, by time.Duration) error {
	reply, err := server.AdvanceClock(ctx, data, by)
	if errors.Is(err, server.ErrNoRehearsal) {
		return hinted{err, "keyward up --dev --data " + data}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s (%s ahead)\n", reply.Now.Format(time.RFC3339), reply.Ahead)
	return err
}

// maxSpan is the longest step: the waiting periods of KMS end within a year.
const maxSpan = 10 * 366 * 24 * time.Hour

// parseSpan reads "30d", or what time.ParseDuration reads.
func parseSpan(s string) (time.Duration, error) {
	span, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if err == nil && n > int(maxSpan/(24*time.Hour)) {
			return 0, fmt.Errorf("%s is too far: at most ten years", s)
		}
		span = time.Duration(n) * 24 * time.Hour
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither a number of days (30d) nor a duration (36h)", s)
	case span <= 0:
		return 0, fmt.Errorf("the clock moves only forward, not by %s", s)
	case span > maxSpan:
		return 0, fmt.Errorf("%s is too far: at most ten years", s)
	}
	return span, nil
}
