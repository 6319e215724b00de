package nucleus

import (
	"fmt"
	"strings"

	"hythe/nucleus/port"
)

// A call says (abi.SendAlone) that its task takes nothing until the answer is
// there. So a task has at most one such call that waits, and the calls make
// chains: from the task to the one that has to answer. Who begins such a call
// looks along the chain from where its request would go; if it comes back to
// itself, nobody on it will ever move. Each chain that was there before has an
// end, so there is no other ring to find.

// alone notes that the call id, if it waits now, is one of these.
func (k *Kernel) alone(t *task, id uint64, dest, answer *port.Port) {
	for w := range t.waits {
		if w.id == id && !w.send {
			w.alone, w.dest, w.answer = true, dest, answer
			t.alone = w
		}
	}
}

// blocker is the task that t's call waits for: who receives where the request
// lies, or has the right to answer it. Nil: t waits in no such call, or somebody
// else could answer as well.
func (k *Kernel) blocker(t *task) *task {
	w := t.alone
	if w == nil || t.ctx == nil {
		return nil
	}
	if !w.send {
		// Delivered: the right to answer tells. It may have gone further.
		if w.answer == nil || w.answer.Dead {
			return nil
		}
		if a := w.answer.Answerer(); a != nil {
			return a.(*task)
		}
		if w.answer.Onces != 1 || w.answer.Sends != 0 || !lies(w.dest, w.answer) {
			return nil
		}
	}
	if w.dest.Dead || w.dest.Holder == nil {
		return nil
	}
	return w.dest.Holder.Task.(*task)
}

// lies says whether a request to be answered on answer is in dest's queue.
func lies(dest, answer *port.Port) bool {
	for i := range dest.Queue.Len() {
		if dest.Queue.At(i).Reply.Port == answer {
			return true
		}
	}
	return false
}

// deadlock says whether a call of t to dest would wait for itself, and reports it
// by names.
func (k *Kernel) deadlock(t *task, dest *port.Port) bool {
	if dest.Holder == nil {
		return false
	}
	var names []string
	u := dest.Holder.Task.(*task)
	for range len(k.tasks) {
		names = append(names, u.name)
		if u == t {
			k.log(t, 0, fmt.Sprintf("deadlock: %s waits for %s", t.name, strings.Join(names, ", which waits for ")))
			return true
		}
		if u = k.blocker(u); u == nil {
			return false
		}
	}
	return false
}
