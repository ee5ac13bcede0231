//! Sources: bytes of a topic become typed records.

use bytes::Bytes;

use crate::processor::graph::{Outlet, ReceiveRaw};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::{ConsumedRecord, Record};
use crate::serde::{Serde, SerdeError};
use crate::topology::SourceFactoryBox;

struct Source<K: 'static, V: 'static, X> {
    key: &'static dyn Serde<K>,
    value: &'static dyn Serde<V>,
    decode_value: DecodeValue<V, X>,
    outlet: Outlet<K, X>,
}

/// How a value is read: a stream requires one, a table takes null for a deletion.
pub(crate) type DecodeValue<V, X> = fn(&dyn Serde<V>, Option<&Bytes>) -> Result<X, SerdeError>;

pub(crate) fn required<V>(serde: &dyn Serde<V>, bytes: Option<&Bytes>) -> Result<V, SerdeError> {
    match bytes {
        Some(bytes) => serde.decode_bytes(bytes),
        None => serde.decode_null(),
    }
}

pub(crate) fn nullable<V>(serde: &dyn Serde<V>, bytes: Option<&Bytes>) -> Result<Option<V>, SerdeError> {
    bytes.map(|bytes| serde.decode_bytes(bytes)).transpose()
}

impl<K: Clone, V, X: Clone> ReceiveRaw for Source<K, V, X> {
    fn receive_raw(&mut self, record: &ConsumedRecord, task: &mut TaskContext) -> Result<(), ProcessorError> {
        if !record.timestamp.is_some() {
            return Err(ProcessorError::bad_record("no_timestamp"));
        }
        let key = required(self.key, record.key.as_ref()).map_err(|error| ProcessorError::serde("key", error))?;
        let value = (self.decode_value)(self.value, record.value.as_ref());
        let value = value.map_err(|error| ProcessorError::serde("value", error))?;
        self.outlet.forward(Record { key, value, timestamp: record.timestamp, headers: record.headers.clone() }, task)
    }
}

pub(crate) fn factory<K: Clone + 'static, V: 'static, X: Clone + 'static>(
    key: &'static dyn Serde<K>,
    value: &'static dyn Serde<V>,
    decode_value: DecodeValue<V, X>,
) -> SourceFactoryBox {
    SourceFactoryBox(Box::new(move |instantiation, id| {
        let outlet = instantiation.outlet(id)?;
        Ok(Box::new(Source { key, value, decode_value, outlet }))
    }))
}
