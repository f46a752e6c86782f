//! The log on a real Kafka: under the contract, beside other processes, and where it must refuse.

mod contract;
mod foreign;
mod several;
mod support;
mod transfer;
