package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"smgw/meter"
)

// ContractVersion is a contract as it was configured, and the local midnight
// from which it holds. The text is opaque here.
type ContractVersion struct {
	From meter.Quarter
	Text []byte
}

// PutContract stores the contract that holds from a local midnight on. A
// version that begins at the same midnight is superseded: it never held.
func (s *Store) PutContract(v ContractVersion, events ...Event) error {
	if v.From < 0 || int64(v.From) > maxQuarter {
		return fmt.Errorf("store contract: midnight %d out of range", int64(v.From))
	}
	key := contractKey(v.From)
	err := s.update(func(t *txn) error {
		if err := t.Bucket(bucketContracts).Put(key, seal(kindContract, key, v.Text)); err != nil {
			return err
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("store contract that holds from %s: %w", v.From, err)
	}
	return nil
}

// ForgetContracts erases the versions that begin after a boundary: they were
// configured ahead, and never held.
func (s *Store) ForgetContracts(after meter.Quarter, events ...Event) error {
	err := s.update(func(t *txn) error {
		c := t.Bucket(bucketContracts).Cursor()
		ahead := contractKey(after + 1)
		for k, _ := c.Seek(ahead); k != nil; k, _ = c.Seek(ahead) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("forget contracts from after %s: %w", after, err)
	}
	return nil
}

// BeginEarlier moves the boundary from which the first contract holds back to an
// earlier one, and with it the marks of series, of which nothing may be built yet:
// this is the one time that a mark goes back. It stores journal entries in the
// same commit.
func (s *Store) BeginEarlier(from meter.Quarter, series []string, events ...Event) error {
	err := s.update(func(t *txn) error {
		contracts := t.Bucket(bucketContracts)
		first, sealed := contracts.Cursor().First()
		text, err := unseal(kindContract, first, sealed)
		if err != nil {
			return err
		}
		key := contractKey(from)
		if from < 0 || bytes.Compare(key, first) >= 0 {
			return errors.New("the first contract does not hold from later")
		}
		record := seal(kindContract, key, text)
		if err := contracts.Delete(first); err != nil {
			return err
		}
		if err := contracts.Put(key, record); err != nil {
			return err
		}
		for _, name := range series {
			mark := []byte(name)
			if err := t.Bucket(bucketMarks).Put(mark, seal(kindMark, mark, binary.AppendUvarint(nil, uint64(from)))); err != nil {
				return err
			}
		}
		return t.append(events)
	})
	if err != nil {
		return fmt.Errorf("begin at %s: %w", from, err)
	}
	return nil
}

// Contracts returns all versions, ascending.
func (s *Store) Contracts() (versions []ContractVersion, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketContracts).ForEach(func(k, v []byte) error {
			if text, err := unseal(kindContract, k, v); err == nil && len(k) == 4 {
				versions = append(versions, ContractVersion{meter.Quarter(binary.BigEndian.Uint32(k)), append([]byte{}, text...)})
			}
			return nil
		})
	})
	return versions, err
}

func contractKey(from meter.Quarter) []byte { return binary.BigEndian.AppendUint32(nil, uint32(from)) }
