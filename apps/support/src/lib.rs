//! What the four applications share: the event model, start-up and shutdown.
