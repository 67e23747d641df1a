//! Quotes between the wire's units and the core's, for both doors.

use trading_engine_protocol::types::{
    ClientOrderId, Decimal8, InstrumentId, Price, Quantity, Reason,
};

use super::reference::{Instrument, ReferenceData};
use crate::engine::command::{NO_PRICE, QuoteEntry};

/// How much a mass quote's answer shows; the byte the core hands back. FIX's QuoteResponseLevel.
pub(super) mod response {
    /// Nothing, unless all of it was refused.
    pub const NONE: u8 = 0;
    /// What was refused.
    pub const ERRORS: u8 = 1;
    /// All of it.
    pub const ALL: u8 = 2;
}

/// One side of an entry, as a door read it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WireSide {
    /// Not given = none.
    pub price: Option<Decimal8>,
    /// Not given = there is no saying.
    pub quantity: Option<Decimal8>,
}

/// An entry, as a door read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireEntry {
    pub entry_id: ClientOrderId,
    pub layer: u16,
    /// `None` = not stated.
    pub bid: Option<WireSide>,
    /// `None` = not stated.
    pub ask: Option<WireSide>,
    /// What the door could not read, with the tag at fault.
    pub fault: Option<(Reason, u16)>,
}

/// FIX tags of a side's price and size, which are the binary fields' ids, too.
const BID_TAGS: (u16, u16) = (132, 134);
const ASK_TAGS: (u16, u16) = (133, 135);

/// An entry in the core's units. What cannot be said in them is in it as the edge's reason, so that
/// the other entries go on.
pub(super) fn entry(
    reference: &ReferenceData,
    instrument: InstrumentId,
    wire: &WireEntry,
) -> QuoteEntry {
    let plain = QuoteEntry {
        entry_id: wire.entry_id,
        instrument,
        layer: wire.layer,
        not_stated: u8::from(wire.bid.is_none()) | u8::from(wire.ask.is_none()) << 1,
        ..QuoteEntry::default()
    };
    match sides(reference.instrument(instrument), wire) {
        Ok([(bid_price, bid_quantity), (ask_price, ask_quantity)]) => QuoteEntry {
            bid_price,
            bid_quantity,
            ask_price,
            ask_quantity,
            ..plain
        },
        Err((reason, edge_tag)) => QuoteEntry {
            edge_reason: reason.code().to_le_bytes()[0],
            edge_tag,
            ..plain
        },
    }
}

type Fault = (Reason, u16);

fn sides(
    instrument: Option<&Instrument>,
    wire: &WireEntry,
) -> Result<[(Price, Quantity); 2], Fault> {
    if let Some(fault) = wire.fault {
        return Err(fault);
    }
    let instrument = instrument.ok_or((Reason::UnknownInstrument, 0))?;
    Ok([
        side(instrument, wire.bid, BID_TAGS)?,
        side(instrument, wire.ask, ASK_TAGS)?,
    ])
}

fn side(
    instrument: &Instrument,
    side: Option<WireSide>,
    (price_tag, quantity_tag): (u16, u16),
) -> Result<(Price, Quantity), Fault> {
    let Some(side) = side else {
        return Ok((NO_PRICE, Quantity(0)));
    };
    let quantity = side
        .quantity
        .ok_or((Reason::QuantityBelowMinimum, quantity_tag))?;
    if quantity.0 == 0 {
        return Ok((NO_PRICE, Quantity(0)));
    }
    let lots = instrument
        .lots(quantity)
        .map_err(|reason| (reason, quantity_tag))?;
    let price = side.price.ok_or((Reason::PriceMissing, price_tag))?;
    let price = instrument
        .price_units(price)
        .map_err(|reason| (reason, price_tag))?;
    Ok((price, lots))
}

/// The field at fault of a refused side: the reasons speak of an order's price and quantity.
pub(super) fn field_at_fault(reason: Reason, ref_tag: u16, is_bid: bool) -> u16 {
    let (price, quantity) = if is_bid { BID_TAGS } else { ASK_TAGS };
    match ref_tag {
        0 => match reason.field_tag() {
            44 => price,
            38 => quantity,
            tag => tag,
        },
        tag => tag,
    }
}
