package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// ratio is a row's median on a side to native's; 0 if one is missing.
func (c *cells) ratio(name, side string, core int) float64 {
	v, n := c.got[key{name, side, core}], c.got[key{name, "native", core}]
	if len(v) == 0 || len(n) == 0 || median(n) == 0 {
		return 0
	}
	return median(v) / median(n)
}

// judge says what the row is to reach, and whether Hythe does; set is false if nothing is.
func (c *cells) judge(r *row, core int) (text string, met, set bool) {
	v := c.got[key{r.name, "hythe", core}]
	ratio := c.ratio(r.name, "hythe", core)
	var l []string
	if g := r.ratio.of(core); g > 0 {
		l = append(l, fmt.Sprintf("%.2f", g))
		met = met || ratio > 0 && ratio <= g
	}
	if g := r.ns.of(core); g > 0 {
		l = append(l, nice(g))
		met = met || len(v) > 0 && median(v) <= g
	}
	return strings.Join(l, " or "), met, len(l) > 0
}

// format writes the two tables.
func format(sides []side, l []row, c *cells) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, load %s; medians of interleaved rounds (at most %s), ± the spread between their\nextremes. Work files are%s on tmpfs.\n",
		host(), load(), plural(c.most(), "one", "%d"), map[bool]string{true: "", false: " not"}[c.tmpfs])
	for _, core := range columns {
		if !c.measured(core) {
			continue
		}
		peers := sides[2:]
		if core < 0 {
			b.WriteString("\nOn all cores:\n\n")
		} else {
			b.WriteString("\nWith everything on one core, native's too:\n\n")
			peers = nil
		}
		head, rule := "| operation | native | ± | hythe | ± | ratio | target | met |", "| --- | --- | --- | --- | --- | --- | --- | --- |"
		for _, p := range peers {
			head, rule = head+" "+p.name+" | ratio |", rule+" --- | --- |"
		}
		b.WriteString(head + "\n" + rule + "\n")
		for i := range l {
			c.line(&b, &l[i], core, peers)
		}
		b.WriteString("\n" + c.summary(l, core, peers))
	}
	for _, o := range c.out {
		fmt.Fprintf(&b, "\nLeft out: %s.\n", o)
	}
	for _, f := range c.failed {
		line, _, _ := strings.Cut(f, "\n")
		fmt.Fprintf(&b, "\nFailed: %s.\n", line)
	}
	return b.String()
}

// most is how many rounds the row has that has most of them.
func (c *cells) most() (n int) {
	for _, v := range c.got {
		n = max(n, len(v))
	}
	return n
}

func (c *cells) measured(core int) bool {
	for k := range c.got {
		if k.core == core {
			return true
		}
	}
	return false
}

func (c *cells) line(b *strings.Builder, r *row, core int, peers []side) {
	name := r.name
	if n := len(c.got[key{r.name, "hythe", core}]); n > 0 && n < c.most() {
		name += fmt.Sprintf(" (%s)", plural(n, "1 round", "%d rounds"))
	}
	fmt.Fprintf(b, "| %s |", name)
	for _, s := range []string{"native", "hythe"} {
		if v := c.got[key{r.name, s, core}]; len(v) > 0 {
			fmt.Fprintf(b, " %s | %.0f %% |", nice(median(v)), 100*spread(v))
		} else {
			b.WriteString(" - | - |")
		}
	}
	text, met, set := c.judge(r, core)
	switch {
	case !set:
		text += "- | - |"
	case met:
		text += " | yes |"
	default:
		text += " | no |"
	}
	fmt.Fprintf(b, " %s | %s", times(c.ratio(r.name, "hythe", core)), text)
	for _, p := range peers {
		v := "-"
		if l := c.got[key{r.name, p.name, core}]; len(l) > 0 {
			v = nice(median(l))
		}
		fmt.Fprintf(b, " %s | %s |", v, times(c.ratio(r.name, p.name, core)))
	}
	b.WriteString("\n")
}

// summary says in words what the table comes to.
func (c *cells) summary(l []row, core int, peers []side) string {
	var b strings.Builder
	var logs []float64
	met, set := 0, 0
	for i := range l {
		if v := c.ratio(l[i].name, "hythe", core); v > 0 && l[i].call {
			logs = append(logs, math.Log(v))
		}
		_, m, s := c.judge(&l[i], core)
		if s {
			set++
		}
		if m {
			met++
		}
	}
	fmt.Fprintf(&b, "%d of %d targets are met.", met, set)
	if len(logs) > 0 {
		sum := 0.0
		for _, v := range logs {
			sum += v
		}
		fmt.Fprintf(&b, " The geometric mean of the %d rows of calls is %.2f times native.", len(logs), math.Exp(sum/float64(len(logs))))
	}
	b.WriteString("\n")
	for _, p := range peers {
		if p.name != "runsc" {
			continue // the others' programs call the host's kernel themselves
		}
		var slower []string
		n := 0
		for i := range l {
			his, ours := c.got[key{l[i].name, p.name, core}], c.got[key{l[i].name, "hythe", core}]
			if len(his) == 0 || len(ours) == 0 {
				continue
			}
			n++
			if median(ours) > median(his) {
				slower = append(slower, l[i].name)
			}
		}
		if n > 0 && len(slower) == 0 {
			fmt.Fprintf(&b, "Of the %d rows that %s runs Hythe is faster in all.\n", n, p.name)
		} else if n > 0 {
			fmt.Fprintf(&b, "Of the %d rows that %s runs Hythe is slower in %d: %s.\n", n, p.name, len(slower), strings.Join(slower, ", "))
		}
	}
	return b.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// The picture: a line for each row, ratios to native from left to right, each step ten times
// the last.
const (
	lineHeight, leftEdge, decade = 18, 150, 110 // pixels
	leastRatio, mostRatio        = 0.01, 1000.0
)

// colours are the sides' and the columns', in order.
var colours = []string{"#1f5fbf", "#d2691e", "#2e8b57", "#8a2be2"}

// picture draws the tables as an SVG.
func picture(sides []side, l []row, c *cells) string {
	type series struct {
		name, side, colour string
		core               int
	}
	all := []series{{"hythe", "hythe", colours[0], -1}, {"hythe, one core", "hythe", "none", 0}}
	for i, s := range sides[min(2, len(sides)):] {
		all = append(all, series{s.name, s.name, colours[1+i%(len(colours)-1)], -1})
	}
	x := func(ratio float64) float64 {
		return leftEdge + decade*math.Log10(min(max(ratio, leastRatio), mostRatio)/leastRatio)
	}
	top, width := 44, int(x(mostRatio))+30
	bottom := top + lineHeight*len(l)
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, bottom+24)
	fmt.Fprintf(&b, "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n")
	at := leftEdge
	for _, s := range all {
		if !slices.ContainsFunc(l, func(r row) bool { return c.ratio(r.name, s.side, s.core) > 0 }) {
			continue
		}
		fmt.Fprintf(&b, "<circle cx=\"%d\" cy=\"14\" r=\"4\" fill=\"%s\" stroke=\"%s\"/><text x=\"%d\" y=\"18\">%s</text>\n", at, s.colour, stroke(s.colour), at+8, s.name)
		at += 30 + 6*len(s.name)
	}
	fmt.Fprintf(&b, "<path d=\"M%d 8v12\" stroke=\"#d00000\" stroke-width=\"2\"/><text x=\"%d\" y=\"18\">target, all cores</text>\n", at, at+8)
	for v := leastRatio; v <= mostRatio*1.01; v *= 10 {
		line := "#dddddd"
		if math.Abs(v-1) < 0.01 {
			line = "#000000"
		}
		fmt.Fprintf(&b, "<path d=\"M%.1f %dV%d\" stroke=\"%s\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x(v), top-6, bottom, line, x(v), top-10, math.Round(v*100)/100)
	}
	for i := range l {
		r := &l[i]
		y := top + lineHeight*i + lineHeight/2
		if i%2 == 0 {
			fmt.Fprintf(&b, "<rect x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#000000\" fill-opacity=\"0.04\"/>\n", y-lineHeight/2, width, lineHeight)
		}
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", leftEdge-10, y+4, r.name)
		if g := r.ratio.all; g > 0 {
			fmt.Fprintf(&b, "<path d=\"M%.1f %dv12\" stroke=\"#d00000\" stroke-width=\"2\"/>\n", x(g), y-6)
		}
		for _, s := range slices.Backward(all) {
			if v := c.ratio(r.name, s.side, s.core); v > 0 {
				fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%d\" r=\"4\" fill=\"%s\" stroke=\"%s\"><title>%s: %.2f</title></circle>\n", x(v), y, s.colour, stroke(s.colour), s.name, v)
			}
		}
	}
	fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">times native; left of 1 is faster</text>\n</svg>\n", leftEdge, bottom+16)
	return b.String()
}

// stroke is the colour around a dot: one without a colour of its own is Hythe's.
func stroke(fill string) string {
	if fill == "none" {
		return colours[0]
	}
	return fill
}

func nice(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f us", ns/1e3)
	}
	return fmt.Sprintf("%.1f ms", ns/1e6)
}
