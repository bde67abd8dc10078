// Command gen writes tables.go of package validation. Run it with "go generate" in that package's folder.
package main

import (
	"log"
	"os"

	"keyward/internal/wire/validation/tables"
)

func main() {
	source, err := tables.Source(os.DirFS("."))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("tables.go", source, 0o644); err != nil {
		log.Fatal(err)
	}
}
