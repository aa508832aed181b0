// Package attack has no code: its tests attack the running program, in network
// namespaces that nothing outside notices. They count what it does: who is
// served, and what is sent to whom.
package attack
