//! The deciders, the process managers and the executor: the only write path of Guildhall.
