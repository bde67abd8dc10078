//go:build !race

package keywardtest

const raceEnabled = false
