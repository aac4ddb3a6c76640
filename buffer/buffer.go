// Package buffer keeps what a gateway must not lose: boundary readings, what
// waits for delivery, how far each series of payloads is built, contract
// versions, notes of what happened once, and the journal. It is one bbolt file
// on flash.
//
// # Promise
//
// When a method that writes returns nil, what it wrote survives a power cut.
// When it returns an error nothing of it is stored, or all of it is (a write
// error can hit after the last byte); doing it again is safe either way. What
// is damaged later is noticed, because every record carries a checksum, and is
// never handed out as good. Tried and Acknowledge are written later and say so.
// docs/reliability.md has the promise line by line.
//
// # Format
//
// A record is a bbolt key with this value:
//
//	+---------+-----------------+------------------------------------+
//	| version | payload         | CRC-32C, big endian, of            |
//	| 1 byte  |                 | kind ‖ key ‖ version ‖ payload     |
//	+---------+-----------------+------------------------------------+
//
// The kind is a letter that is not stored: it says which table the record
// belongs to, so that a record found on a stray page still tells what it is.
// In payloads integers are varints, texts and octets have their length before
// them, instants are milliseconds, exact values an exponent and an integer.
//
//	bucket      kind  key                                payload
//	meta        s     name                               schema, created, journal head, anchor
//	boundaries  b     meter 00 quarter(4) device         boundary reading
//	fresh       b     the same                           the newest of them, see below
//	items       i     id                                 item: endpoint, due, state, …
//	bodies      p     id                                 what is sent, opaque
//	marks       m     series                             quarter up to which it is built
//	contracts   c     quarter(4)                         contract text that holds from there
//	journal     j     sequence(8)                        event, SHA-256 chained
//	losses      l     sequence(8)                        what was lost, counted and dated
//	minutes     n     meter 00 minute(4) device          minute reading (schema 2)
//	notes       o     id                                 what happened once: done, quarter, text (schema 3)
//
// # Flash
//
// A commit of bbolt writes every page from the changed leaf up to the root, and
// the meta page. A boundary reading therefore goes first to the small bucket
// fresh, which bbolt keeps inside the root page: two pages a commit, however
// large the history. When fresh is full all of it moves to boundaries at once.
// Acknowledgements, and how often an item was tried, are kept in memory and
// written with the next commit that happens anyway.
//
// # Schemas
//
//	1  all tables but minutes and notes
//	2  and minutes
//	3  and notes
//
// A file of an older schema is migrated when it is opened: copied into a new
// file beside it, which takes its name when it is on flash. The old file stays
// as store.db.schemaN-DATE, DATE being when it was last written to, until a
// later start finds the new one sound, thirty days at most. To go back to the
// older program stop it, give that file the name store.db again, and lose what
// was stored since. An older program refuses a newer file without touching it.
package buffer
