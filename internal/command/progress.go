package command

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	onTerminal = time.Second      // between two updates of the line
	elsewhere  = 10 * time.Second // between two lines, such as in the log of a job
)

// erase moves the cursor to the beginning of the line and clears the line.
const erase = "\r\x1b[K"

// A Progress shows what a program is doing. On a terminal, it is one line that
// is rewritten; elsewhere, there is a new line every ten seconds.
type Progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	status   func(elapsed time.Duration) string
	stop     chan struct{}
	wg       sync.WaitGroup

	mu    sync.Mutex // held while writing to out, and by Writer
	shown bool       // the terminal shows the line
}

// StartProgress shows the result of status on out, which should be stderr, until
// Stop is called. The result should be shorter than 80 columns.
func StartProgress(out io.Writer, status func(elapsed time.Duration) string) *Progress {
	terminal, every := isTerminal(out), elsewhere
	if terminal {
		every = onTerminal
	}
	ticker := time.NewTicker(every)
	return startProgress(out, terminal, time.Now(), ticker.C, status)
}

func startProgress(out io.Writer, terminal bool, began time.Time, ticks <-chan time.Time, status func(time.Duration) string) *Progress {
	p := &Progress{out: out, terminal: terminal, began: began, status: status, stop: make(chan struct{})}
	p.wg.Go(func() {
		for {
			select {
			case now := <-ticks:
				p.show(now.Sub(began).Round(time.Second))
			case <-p.stop:
				return
			}
		}
	})
	return p
}

// isTerminal reports whether out is a terminal, or another device such as
// /dev/null, on which the line does no harm.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *Progress) show(elapsed time.Duration) {
	text := p.status(elapsed)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprint(p.out, erase, text)
	p.shown = true
}

// erase must be called with the lock held.
func (p *Progress) erase() {
	if p.shown {
		fmt.Fprint(p.out, erase)
		p.shown = false
	}
}

// Writer returns a writer to w that first erases the line on the terminal, so
// that the two do not share one.
func (p *Progress) Writer(w io.Writer) io.Writer { return aside{p, w} }

type aside struct {
	p *Progress
	w io.Writer
}

func (a aside) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	a.p.erase()
	return a.w.Write(b)
}

// Stop ends the progress and erases the line on a terminal. It may be called
// more than once.
func (p *Progress) Stop() {
	select {
	case <-p.stop:
		return
	default:
	}
	close(p.stop)
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}
