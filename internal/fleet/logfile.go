package fleet

import (
	"os"
	"sync"
)

// maxLog is the size, in bytes, at which an HSM's log begins anew; one older file is kept.
const maxLog = 1 << 20

// logFile takes the standard error of an HSM. It never fails: an HSM must not stop because its log cannot be written,
// and it must not make a folder that is gone.
type logFile struct {
	path string

	mu   sync.Mutex // guards what follows
	file *os.File   // nil while it could not be opened
	size int64
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size+int64(len(p)) > maxLog {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// rotate opens the file, setting it aside first when it is full.
func (l *logFile) rotate() {
	l.shut()
	if info, err := os.Stat(l.path); err == nil {
		if l.size = info.Size(); l.size > maxLog/2 {
			_ = os.Rename(l.path, l.path+".1") // then the full one is appended to: better than losing what comes
			l.size = 0
		}
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		l.file = file
	}
}

func (l *logFile) shut() {
	if l.file != nil {
		_ = l.file.Close() // nothing durable is promised of a log
		l.file = nil
	}
}

// Close implements io.Closer.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut()
	return nil
}
