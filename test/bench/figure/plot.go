package figure

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Plot is a line chart with a logarithmic X axis.
type Plot struct {
	Title, X, Y string
	Lines       []Line
}

// Line is one curve; its points are in the order of X.
type Line struct {
	Name   string
	Points []Point
}

// Point is one measurement.
type Point struct{ X, Y float64 }

// The plot's measures in pixels, and the colours of the curves, which
// colour-blind people can distinguish (Okabe and Ito).
const (
	plotWidth, plotHeight = 860, 480
	plotLeft, plotRight   = 80, 190
	plotTop, plotBottom   = 50, 60
)

var plotColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f", "#e69f00"}

// area maps measurements to pixels.
type area struct{ minX, maxX, maxY float64 }

// x returns the pixel column of a value.
func (a area) x(v float64) float64 {
	span := math.Log(a.maxX) - math.Log(a.minX)
	if span == 0 {
		return plotLeft
	}
	return plotLeft + (math.Log(v)-math.Log(a.minX))/span*(plotWidth-plotLeft-plotRight)
}

// y returns the pixel row of a value.
func (a area) y(v float64) float64 {
	return plotHeight - plotBottom - v/a.maxY*(plotHeight-plotTop-plotBottom)
}

// SVG draws the plot.
func (p *Plot) SVG() string {
	a := p.area()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	text(&b, plotLeft, 26, "start", "font-weight=\"bold\" font-size=\"16\"", p.Title)
	p.grid(&b, a)
	for i, line := range p.Lines {
		p.line(&b, a, i, line)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// area returns the range of values that the plot shows.
func (p *Plot) area() area {
	a := area{minX: math.Inf(1), maxX: 1, maxY: 0}
	for _, line := range p.Lines {
		for _, point := range line.Points {
			a.minX, a.maxX, a.maxY = min(a.minX, point.X), max(a.maxX, point.X), max(a.maxY, point.Y)
		}
	}
	a.minX = min(a.minX, a.maxX)
	step := gridStep(a.maxY)
	a.maxY = math.Ceil(a.maxY/step) * step
	return a
}

// gridStep returns a round distance that divides an axis into four to ten.
func gridStep(top float64) float64 {
	if top <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(top)))
	switch {
	case top/step < 2:
		return step / 5
	case top/step < 4:
		return step / 2
	}
	return step
}

// grid draws the axes: horizontal lines, and a label for each X that was
// measured.
func (p *Plot) grid(b *strings.Builder, a area) {
	right := float64(plotWidth - plotRight)
	bottom := float64(plotHeight - plotBottom)
	for step, v := gridStep(a.maxY), 0.0; a.maxY > 0 && v <= a.maxY*1.0001; v += step {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, a.y(v), right, a.y(v))
		text(b, plotLeft-8, a.y(v)+4, "end", "", fmt.Sprintf("%g", v))
	}
	seen := map[float64]bool{}
	for _, line := range p.Lines {
		for _, point := range line.Points {
			if !seen[point.X] {
				seen[point.X] = true
				text(b, a.x(point.X), bottom+18, "middle", "", fmt.Sprintf("%g", point.X))
			}
		}
	}
	text(b, (plotLeft+right)/2, bottom+42, "middle", "", p.X)
	text(b, 18, (plotTop+bottom)/2, "middle", fmt.Sprintf(`transform="rotate(-90 18 %.1f)"`, (plotTop+bottom)/2), p.Y)
}

// line draws the i-th curve and its entry beside the plot.
func (p *Plot) line(b *strings.Builder, a area, i int, line Line) {
	colour := plotColours[i%len(plotColours)]
	var points []string
	for _, point := range line.Points {
		points = append(points, fmt.Sprintf("%.1f,%.1f", a.x(point.X), a.y(point.Y)))
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colour, strings.Join(points, " "))
	for _, point := range line.Points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", a.x(point.X), a.y(point.Y), colour)
	}
	x, y := float64(plotWidth-plotRight+20), float64(plotTop+22*i+10)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="3"/>`+"\n", x, y, x+20, y, colour)
	text(b, x+28, y+4, "start", "", line.Name)
}

// text writes a label.
func text(b *strings.Builder, x, y float64, anchor, attributes, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, attributes, html.EscapeString(s))
}
