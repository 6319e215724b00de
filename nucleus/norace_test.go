//go:build !race

package nucleus_test

const raceEnabled = false
