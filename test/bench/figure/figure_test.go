package figure

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		given := append([]float64(nil), c.values...)
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
		if diff := cmp.Diff(given, c.values); diff != "" {
			t.Errorf("Median changed its argument (-want +got):\n%s", diff)
		}
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		values []time.Duration
		share  float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{[]time.Duration{3}, 0, 3},
		{[]time.Duration{3, 1, 2}, 0.5, 2},
		{hundred, 0.99, 99},
		{hundred, 0.5, 50},
		{hundred, 1, 100},
		{hundred, 2, 100},
	} {
		if got := Quantile(c.values, c.share); got != c.want {
			t.Errorf("Quantile of %d values at %v = %d, want %d", len(c.values), c.share, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	table := &Table{Head: []string{"pattern", "a", "µs"}}
	table.Add("one", "1", "1,000")
	table.Add("eleven by two")
	want := `| pattern       | a |    µs |
|---------------|--:|------:|
| one           | 1 | 1,000 |
| eleven by two |   |       |
`
	if diff := cmp.Diff(want, table.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlot(t *testing.T) {
	plot := &Plot{Title: "a & b", X: "clients", Y: "MB/s", Lines: []Line{
		{Name: "one", Points: []Point{{1, 100}, {10, 300}, {100, 380}}},
		{Name: "<two>", Points: []Point{{10, 50}}},
	}}
	const file = "testdata/plot.svg"
	got := plot.SVG()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPlotArea checks that a plot of nothing, or of one point, does not divide
// by zero.
func TestPlotArea(t *testing.T) {
	for _, c := range []struct {
		name string
		plot Plot
		want area
	}{
		{"nothing", Plot{}, area{1, 1, 0}},
		{"one point", Plot{Lines: []Line{{Points: []Point{{5, 90}}}}}, area{5, 5, 90}},
		{"three", Plot{Lines: []Line{{Points: []Point{{1, 10}, {2, 1234}}}, {Points: []Point{{2000, 7}}}}}, area{1, 2000, 1400}},
	} {
		got := c.plot.area()
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(area{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if x := got.x(got.minX); x != plotLeft {
			t.Errorf("%s: the first column is %v, not %v", c.name, x, plotLeft)
		}
	}
}
