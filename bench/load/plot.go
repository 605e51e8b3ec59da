package main

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// A curve holds the durations of the responses of one kind.
type curve struct {
	label  string
	color  string
	sorted []time.Duration
}

// writePlot draws the latencies of both parts.
func writePlot(set settings, flatOut, paced *report) error {
	file, err := os.Create(set.plot)
	if err != nil {
		return fmt.Errorf("draw the latencies: %w", err)
	}
	err = plot(file, "Time until a response, by share of the responses",
		fmt.Sprintf("%d browsers, two instances behind a round robin, sessions in Redis, all on one machine", set.browsers),
		[]curve{
			{fmt.Sprintf("page, all at once without pauses, %.0f requests/s", flatOut.throughput()), "#c2410c", flatOut.times[kindPage]},
			{fmt.Sprintf("callback of a login, at up to %.0f requests/s", paced.rate), "#7c3aed", paced.times[kindCallback]},
			{fmt.Sprintf("page, at up to %.0f requests/s", paced.rate), "#0f766e", paced.times[kindPage]},
		})
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("draw the latencies: %w", err)
	}
	return nil
}

// The plot's own coordinates.
const (
	plotWidth, plotHeight   = 880.0, 540.0
	left, right             = 76.0, 28.0
	top, bottom             = 132.0, 66.0
	innerWidth, innerHeight = plotWidth - left - right, plotHeight - top - bottom
)

// nines is the abscissa: 0 for none of the responses, 1 for 90 %, 2 for 99 %.
// Rare responses get as much room as common ones.
func nines(share float64) float64 { return -math.Log10(1 - share) }

const mostNines = 3 // 99.9 %

func xOf(share float64) float64 { return left + innerWidth*nines(share)/mostNines }

// scale is the ordinate, logarithmic, in milliseconds.
type scale struct{ low, high float64 }

// scaleFor returns a scale for all curves except the fastest hundredth of their
// responses, from one power of ten to another.
func scaleFor(curves []curve) scale {
	s := scale{math.Inf(1), math.Inf(-1)}
	for _, c := range curves {
		if len(c.sorted) > 0 {
			s.low = min(s.low, milliseconds(quantile(c.sorted, 0.01)))
			s.high = max(s.high, milliseconds(quantile(c.sorted, 0.999)))
		}
	}
	if s.low > s.high {
		return scale{0.1, 10}
	}
	s.low = math.Pow(10, math.Floor(math.Log10(max(s.low, 0.01))))
	s.high = math.Pow(10, math.Ceil(math.Log10(max(s.high, 10*s.low))))
	return s
}

func (s scale) y(ms float64) float64 {
	return top + innerHeight*(1-math.Log10(max(ms, s.low)/s.low)/math.Log10(s.high/s.low))
}

// plot writes an SVG picture: latencies upwards, rarer responses to the right.
func plot(w io.Writer, title, subtitle string, curves []curve) error {
	var b strings.Builder
	s := scaleFor(curves)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s" font-family="system-ui, sans-serif">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" rx="10" fill="#ffffff"/>`+"\n", plotWidth, plotHeight)
	text(&b, 28, 38, 18, "#0f172a", "start", "600", title)
	text(&b, 28, 60, 13, "#64748b", "start", "400", subtitle)
	drawGrid(&b, s)
	for i, c := range curves {
		drawCurve(&b, s, c)
		drawKey(&b, i, c)
	}
	for _, share := range marked {
		drawMarks(&b, s, curves, share)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func text(b *strings.Builder, x, y, size float64, color, anchor, weight, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%.0f" fill="%s" text-anchor="%s" font-weight="%s">%s</text>`+"\n",
		x, y, size, color, anchor, weight, html.EscapeString(s))
}

func line(b *strings.Builder, x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
}

func drawGrid(b *strings.Builder, s scale) {
	for ms := s.low; ms <= s.high*1.01; ms *= 10 {
		for part := 2.0; part < 10 && ms < s.high*0.99; part++ {
			line(b, left, s.y(ms*part), plotWidth-right, s.y(ms*part), "#f1f5f9")
		}
		line(b, left, s.y(ms), plotWidth-right, s.y(ms), "#cbd5e1")
		text(b, left-10, s.y(ms)+4, 12, "#475569", "end", "400", fmt.Sprintf("%g ms", ms))
	}
	for _, tick := range []struct {
		share float64
		label string
	}{{0, "0 %"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.95, "95 %"}, {0.99, "99 %"}, {0.995, "99.5 %"}, {0.999, "99.9 %"}} {
		line(b, xOf(tick.share), top, xOf(tick.share), plotHeight-bottom, "#e2e8f0")
		text(b, xOf(tick.share), plotHeight-bottom+20, 12, "#475569", "middle", "400", tick.label)
	}
	text(b, left+innerWidth/2, plotHeight-18, 13, "#334155", "middle", "400", "share of the responses that arrived within the time")
	fmt.Fprintf(b, `<g transform="translate(20 %.1f) rotate(-90)">`, top+innerHeight/2)
	text(b, 0, 0, 13, "#334155", "middle", "400", "time until the response")
	b.WriteString("</g>\n")
}

// drawCurve draws a point for each hundredth of a nine.
func drawCurve(b *strings.Builder, s scale, c curve) {
	if len(c.sorted) == 0 {
		return
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2.5" stroke-linejoin="round" points="`, c.color)
	for step := 0; step <= 100*mostNines; step++ {
		share := 1 - math.Pow(10, -float64(step)/100)
		fmt.Fprintf(b, "%.1f,%.1f ", xOf(share), s.y(milliseconds(quantile(c.sorted, share))))
	}
	b.WriteString(`"/>` + "\n")
}

// marked has the shares at which the curves show their figures.
var marked = []float64{0.5, 0.99, 0.999}

// drawMarks writes each curve's figure at one share, without overlaps.
func drawMarks(b *strings.Builder, s scale, curves []curve, share float64) {
	const lineHeight = 13
	byHeight := slices.DeleteFunc(slices.Clone(curves), func(c curve) bool { return len(c.sorted) == 0 })
	slices.SortFunc(byHeight, func(a, b curve) int { return cmp.Compare(quantile(a.sorted, share), quantile(b.sorted, share)) })
	anchor, x := "middle", xOf(share)
	if share == marked[len(marked)-1] {
		anchor, x = "end", x-8
	}
	free := plotHeight
	for _, c := range byHeight { // upwards
		ms := milliseconds(quantile(c.sorted, share))
		y := s.y(ms)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="#ffffff" stroke="%s" stroke-width="2"/>`+"\n", xOf(share), y, c.color)
		at := min(y-9, free-lineHeight)
		free = at
		fmt.Fprintf(b, `<g paint-order="stroke" stroke="#ffffff" stroke-width="3">`)
		text(b, x, at, 11, c.color, anchor, "600", fmt.Sprintf("%.3g ms", ms))
		b.WriteString("</g>\n")
	}
}

// drawKey names the curve below the title.
func drawKey(b *strings.Builder, place int, c curve) {
	y := 82.0 + 16*float64(place)
	fmt.Fprintf(b, `<rect x="28" y="%.1f" width="18" height="4" rx="2" fill="%s"/>`+"\n", y-5, c.color)
	text(b, 54, y, 13, "#334155", "start", "400", c.label)
}
