//! The read models of Guildhall, their queries, and the read store with its engines.
