//! The HTTP surface of Guildhall and its binary, guildhall.
