//! What runs by itself: projectors, dead letters, process managers, timers.
