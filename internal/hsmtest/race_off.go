//go:build !race

package hsmtest

const race = false
