package store

// List is the head of a doubly linked list of records; a field of a record.
type List[T any] struct {
	Head, Tail Ref[T]
	N          uint32
}

// Link is a record's place in one list; a field of the record.
type Link[T any] struct {
	Prev, Next Ref[T]
}

// Lists changes lists of the records of Table that are chained through the Link
// which the function At picks. A *List that is changed must lie in memory that
// the transaction may change (from New or Mut).
type Lists[T any] struct {
	Table *Table[T]
	At    func(*T) *Link[T]
}

// PushBack puts r, which is in no list through this link, at the end.
func (x Lists[T]) PushBack(l *List[T], r Ref[T]) {
	k := x.At(x.Table.Mut(r))
	k.Prev, k.Next = l.Tail, 0
	if l.Tail != 0 {
		x.At(x.Table.Mut(l.Tail)).Next = r
	} else {
		l.Head = r
	}
	l.Tail = r
	l.N++
}

// PushFront puts r, which is in no list through this link, at the start.
func (x Lists[T]) PushFront(l *List[T], r Ref[T]) {
	k := x.At(x.Table.Mut(r))
	k.Prev, k.Next = 0, l.Head
	if l.Head != 0 {
		x.At(x.Table.Mut(l.Head)).Prev = r
	} else {
		l.Tail = r
	}
	l.Head = r
	l.N++
}

// Remove takes r out of l, which it must be in.
func (x Lists[T]) Remove(l *List[T], r Ref[T]) {
	k := x.At(x.Table.Mut(r))
	if k.Prev != 0 {
		x.At(x.Table.Mut(k.Prev)).Next = k.Next
	} else {
		l.Head = k.Next
	}
	if k.Next != 0 {
		x.At(x.Table.Mut(k.Next)).Prev = k.Prev
	} else {
		l.Tail = k.Prev
	}
	*k = Link[T]{}
	l.N--
}

// PopFront takes the first record out and answers it, 0 when l is empty.
func (x Lists[T]) PopFront(l *List[T]) Ref[T] {
	r := l.Head
	if r != 0 {
		x.Remove(l, r)
	}
	return r
}

// Each calls f for the records of l in order until f answers false; f may
// remove the record that it is given.
func (x Lists[T]) Each(l *List[T], f func(Ref[T], *T) bool) {
	for r := l.Head; r != 0; {
		p := x.Table.Get(r)
		next := x.At(p).Next
		if !f(r, p) {
			return
		}
		r = next
	}
}
