package logserver

// step is a moment in the life of an epoch at which the process may die without anything being lost.
type step string

const (
	stepStored    step = "stored"    // sealed records are in the store
	stepLogged    step = "logged"    // slot entries are in the log
	stepMapped    step = "mapped"    // the map has them
	stepHeaded    step = "headed"    // the head is in the log
	stepWitnessed step = "witnessed" // the witnesses have signed the checkpoint
	stepArchived  step = "archived"  // it is in the archive
	stepShown     step = "shown"     // readers see it
	stepAnswered  step = "answered"  // receipts are given
)

func (s *Server) reached(at step) {
	if s.cfg.step != nil {
		s.cfg.step(at)
	}
}
