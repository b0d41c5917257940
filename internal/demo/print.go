package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

// printer shows how the demo is getting on: short lines, aligned tables.
type printer struct {
	w     io.Writer
	color bool
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if f, ok := w.(*os.File); ok && os.Getenv("NO_COLOR") == "" {
		info, err := f.Stat()
		p.color = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

const (
	bold  = "1"
	green = "32"
	red   = "31"
	faint = "2"
)

func (p *printer) paint(style, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// indent is where everything below a step's heading begins.
const indent = "     "

func (p *printer) heading(n, of int, title string) {
	fmt.Fprintf(p.w, "\n%s\n", p.paint(bold, fmt.Sprintf("%2d/%d %s", n, of, title)))
}

func (p *printer) note(format string, args ...any) {
	fmt.Fprintln(p.w, strings.TrimRight(indent+fmt.Sprintf(format, args...), " "))
}

func (p *printer) passed(detail string, took time.Duration) {
	fmt.Fprintf(p.w, "%s%s %s %s\n", indent, p.paint(green, "✓"), detail, p.paint(faint, fmt.Sprintf("(%.1fs)", took.Seconds())))
}

func (p *printer) failed(detail string) {
	mark := p.paint(red, "✗")
	for i, line := range strings.Split(detail, "\n") {
		if i > 0 {
			mark = " "
		}
		fmt.Fprintf(p.w, "%s%s %s\n", indent, mark, line)
	}
}

// progress shows what has been done while a network comes up.
func (p *printer) progress(e localnet.Event) {
	if !e.Done {
		return
	}
	who, mark := e.Chain, p.paint(green, "✓")
	if who == "" {
		who = "network"
	}
	line := e.Step
	if e.Detail != "" {
		line += ": " + e.Detail
	}
	if e.Err != nil {
		mark = p.paint(red, "✗")
	}
	fmt.Fprintf(p.w, "%s%s %5.1fs  %-14s  %s\n", indent, mark, e.Elapsed.Seconds(), who, line)
}

// table shows rows below a header, columns of figures to the right.
func (p *printer) table(rows [][]string) {
	for i, line := range layOut(rows) {
		if i == 0 {
			line = p.paint(faint, line)
		}
		fmt.Fprintf(p.w, "%s%s\n", indent, line)
	}
}

var figure = regexp.MustCompile(`^[+−]?[0-9][0-9.,]*( [A-Za-z%]+)?$`)

// layOut aligns columns. A column of figures is one in which every cell below
// the header is a figure or empty.
func layOut(rows [][]string) []string {
	var widths []int
	var right []bool
	for r, row := range rows {
		for c, cell := range row {
			if c == len(widths) {
				widths, right = append(widths, 0), append(right, true)
			}
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
			if r > 0 && cell != "" && !figure.MatchString(cell) {
				right[c] = false
			}
		}
	}
	out := make([]string, len(rows))
	for r, row := range rows {
		var b strings.Builder
		for c, cell := range row {
			if c > 0 {
				b.WriteString("   ")
			}
			space := strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell))
			if right[c] {
				b.WriteString(space + cell)
			} else {
				b.WriteString(cell + space)
			}
		}
		out[r] = strings.TrimRight(b.String(), " ")
	}
	return out
}

// tokens spells an amount of base units in whole tokens, such as "12.5 OSMO".
func tokens(amount math.Int, decimals uint32, symbol string) string {
	return decimal(amount, decimals) + " " + symbol
}

func decimal(amount math.Int, decimals uint32) string {
	sign := ""
	if amount.IsNegative() {
		sign, amount = "−", amount.Neg()
	}
	digits := amount.String()
	if missing := int(decimals) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	at := len(digits) - int(decimals)
	return sign + strings.TrimSuffix(strings.TrimRight(digits[:at]+"."+digits[at:], "0"), ".")
}

func secs(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// mismatch is a check that failed: what was looked at, and the two figures.
type mismatch struct{ what, expected, seen string }

func (m *mismatch) Error() string {
	return fmt.Sprintf("%s\n  expected: %s\n  seen:     %s", m.what, m.expected, m.seen)
}

// expect compares what a chain says with what it should say.
func expect(what string, expected, seen any) error {
	e, s := fmt.Sprint(expected), fmt.Sprint(seen)
	if e == s {
		return nil
	}
	return &mismatch{what, e, s}
}

// explain tells why a step failed and where to read more.
func explain(err error, logs []string) string {
	text := err.Error()
	var step *localnet.StepError
	if !errors.As(err, &step) && len(logs) > 0 {
		text += "\n  log files:\n    " + strings.Join(logs, "\n    ")
	}
	return text
}
