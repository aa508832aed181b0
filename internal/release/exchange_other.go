//go:build !linux && !darwin

package release

import "errors"

// exchange has two paths change places, which this system cannot.
func exchange(string, string) error { return errors.ErrUnsupported }
