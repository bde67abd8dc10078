package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
)

// column stores a value as a JSON text, and reads it from one.
type column[T any] struct{ value *T }

func asJSON[T any](value *T) column[T] { return column[T]{value} }

// Value implements driver.Valuer.
func (c column[T]) Value() (driver.Value, error) {
	text, err := json.Marshal(c.value)
	return string(text), err
}

// Scan implements sql.Scanner.
func (c column[T]) Scan(v any) error {
	text, err := textOf(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, c.value)
}

// textOf is the text of a column as the driver hands it over.
func textOf(v any) ([]byte, error) {
	switch text := v.(type) {
	case string:
		return []byte(text), nil
	case []byte:
		return text, nil
	default:
		return nil, fmt.Errorf("storage: %T where a text is expected", v)
	}
}
