// Package connection is the connection machine of a custom key store as a table: what each operation and each outcome
// of background work does in each state (spec key-stores 3.1 and 3.2). It holds no store, no clock and no I/O; package
// keystore carries out what the table says.
package connection

import (
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// State is a store's ConnectionState.
type State = types.ConnectionStateType

// The states, in AWS's words.
const (
	Disconnected  = types.ConnectionStateTypeDisconnected
	Connecting    = types.ConnectionStateTypeConnecting
	Connected     = types.ConnectionStateTypeConnected
	Failed        = types.ConnectionStateTypeFailed
	Disconnecting = types.ConnectionStateTypeDisconnecting
)

// Initial is the state of a new store: stores are never connected automatically.
const Initial = Disconnected

// Trigger is what happens to a store.
type Trigger uint8

// Triggers. The first group are operations, the second outcomes of background work.
const (
	Connect    Trigger = iota // ConnectCustomKeyStore, its checks passed
	Disconnect                // DisconnectCustomKeyStore
	Rename                    // UpdateCustomKeyStore with a new name and nothing else
	Update                    // UpdateCustomKeyStore of any other property, alone or together with the name
	Delete                    // DeleteCustomKeyStore of an empty store
	Describe                  // DescribeCustomKeyStores
	CreateKey                 // CreateKey into the store
	Random                    // GenerateRandom from the store
	Use                       // a cryptographic operation under a key of the store
	Manage                    // any other operation on a key of the store

	Succeeded // the attempt to connect succeeded
	Broke     // the attempt to connect failed, for a reason that becomes the ConnectionErrorCode
	TornDown  // logout and teardown of the network are done

	triggers // their number
)

// Verdict is how a trigger is met.
type Verdict uint8

// Verdicts.
const (
	// Go: carry it out; the store is in Step.To afterwards.
	Go Verdict = iota
	// Nothing: answer success and change nothing; no second attempt, no new login, no rotation.
	Nothing
	// Refuse: CustomKeyStoreInvalidStateException.
	Refuse
	// RefuseKey: KMSInvalidStateException, because the key reads Unavailable.
	RefuseKey
	// Stale: an outcome that comes after the state has moved on. It is dropped.
	Stale
)

// Step is one cell of the table.
type Step struct {
	Verdict Verdict
	// To is the state afterwards; the state before unless Verdict is Go.
	To State
}

// Gone is the state after Delete.
const Gone State = ""

// Next looks the cell up. An unknown state or trigger is refused.
func Next(from State, t Trigger) Step {
	row, ok := table[from]
	if !ok || t >= triggers {
		return Step{Refuse, from}
	}
	step := row[t]
	if step.Verdict != Go {
		step.To = from
	}
	return step
}

var (
	nothing   = Step{Verdict: Nothing}
	refuse    = Step{Verdict: Refuse}
	refuseKey = Step{Verdict: RefuseKey}
	stale     = Step{Verdict: Stale}
)

func to(s State) Step { return Step{Go, s} }

var table = map[State][triggers]Step{
	Disconnected: {
		Connect: to(Connecting), Disconnect: refuse,
		Rename: to(Disconnected), Update: to(Disconnected), Delete: to(Gone), Describe: to(Disconnected),
		CreateKey: refuse, Random: refuse, Use: refuseKey, Manage: to(Disconnected),
		Succeeded: stale, Broke: stale, TornDown: stale,
	},
	Connecting: {
		Connect: nothing, Disconnect: to(Disconnecting),
		Rename: refuse, Update: refuse, Delete: refuse, Describe: to(Connecting),
		CreateKey: refuse, Random: refuse, Use: refuseKey, Manage: to(Connecting),
		Succeeded: to(Connected), Broke: to(Failed), TornDown: stale,
	},
	// A store never leaves Connected by itself: what happens to HSMs and network surfaces in the operations.
	Connected: {
		Connect: nothing, Disconnect: to(Disconnecting),
		Rename: to(Connected), Update: refuse, Delete: refuse, Describe: to(Connected),
		CreateKey: to(Connected), Random: to(Connected), Use: to(Connected), Manage: to(Connected),
		Succeeded: stale, Broke: stale, TornDown: stale,
	},
	// Disconnect is the only way out of Failed.
	Failed: {
		Connect: refuse, Disconnect: to(Disconnecting),
		Rename: refuse, Update: refuse, Delete: refuse, Describe: to(Failed),
		CreateKey: refuse, Random: refuse, Use: refuseKey, Manage: to(Failed),
		Succeeded: stale, Broke: stale, TornDown: stale,
	},
	Disconnecting: {
		Connect: refuse, Disconnect: refuse,
		Rename: refuse, Update: refuse, Delete: refuse, Describe: to(Disconnecting),
		CreateKey: refuse, Random: refuse, Use: refuseKey, Manage: to(Disconnecting),
		Succeeded: stale, Broke: stale, TornDown: to(Disconnected),
	},
}
