//! Accounts of firms: what their orders and quotes may state.

use axum::Json;
use serde::{Deserialize, Serialize};
use trading_engine_protocol::types::{AccountId, FirmId};
use utoipa::ToSchema;

use super::extract::{Body, Named, Operator, Params, Viewer};
use super::problem::{Problem, Result, accepted};
use super::{Done, Page, Paging};
use crate::admin::desk::Ask;
use crate::admin::mirror::Reference;
use crate::engine::command::SetAccount;

/// An account of a firm.
#[derive(Serialize, ToSchema)]
pub struct AccountView {
    /// Number; 0 is the account of orders that state none.
    account: u32,
    /// Whether orders and quotes may be entered for it.
    enabled: bool,
}

/// What an account may do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSetting {
    /// Whether orders and quotes may be entered for it. Of one that is disabled what is open stays; it can be
    /// canceled and made smaller.
    enabled: bool,
}

/// Whether a firm is there: one that is not has no list of accounts, not an empty one.
fn check_firm(reference: &Reference, firm: u32) -> Result<()> {
    let known = reference.firms.contains_key(&firm).then_some(());
    known.ok_or_else(|| Problem::missing(format!("no firm {firm}")))
}

/// Accounts of a firm.
///
/// A firm that has none may state any.
#[utoipa::path(get, path = "/firms/{id}/accounts", tag = "sessions", security(("bearer" = [])),
    operation_id = "list_accounts",
    params(("id" = u32, Path, description = "The firm's number.", minimum = 1), Paging),
    responses((status = 200, description = "Some of them, ascending.", body = Page<AccountView>)))]
pub async fn list(
    caller: Viewer,
    Named(firm): Named<u32>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<AccountView>>> {
    let page = caller.api.mirror.read(|reference| {
        check_firm(reference, firm)?;
        let all = reference.accounts_of(firm);
        paging.page(all.map(|(account, enabled)| (account, AccountView { account, enabled })))
    })?;
    Ok(Json(page))
}

/// One account of a firm.
#[utoipa::path(get, path = "/firms/{id}/accounts/{account}", tag = "sessions",
    operation_id = "show_account", security(("bearer" = [])),
    params(("id" = u32, Path, description = "The firm's number.", minimum = 1),
        ("account" = u32, Path, description = "The account's number.", minimum = 0)),
    responses((status = 200, description = "It.", body = AccountView)))]
pub async fn show(
    caller: Viewer,
    Named((firm, account)): Named<(u32, u32)>,
) -> Result<Json<AccountView>> {
    caller.api.mirror.read(|reference| {
        check_firm(reference, firm)?;
        let enabled = reference.accounts.get(&(firm, account)).copied();
        let view = enabled.map(|enabled| Json(AccountView { account, enabled }));
        view.ok_or_else(|| Problem::missing(format!("firm {firm} has no account {account}")))
    })
}

/// Register an account, enable it or disable it.
///
/// From its first account on a firm's new orders and mass quotes may state only accounts that it has and that
/// are enabled, 0 (stated by none) included; there is no way back. Nothing that is open is canceled: a kill switch
/// or a mass cancel does that.
#[utoipa::path(put, path = "/firms/{id}/accounts/{account}", tag = "sessions",
    operation_id = "set_account", security(("bearer" = [])), request_body = AccountSetting,
    params(("id" = u32, Path, description = "The firm's number.", minimum = 1),
        ("account" = u32, Path, description = "The account's number.", minimum = 0)),
    responses((status = 200, description = "It is so.", body = Done)))]
pub async fn set(
    caller: Operator,
    Named((firm, account)): Named<(u32, u32)>,
    Body(setting): Body<AccountSetting>,
) -> Result<Json<Done>> {
    let api = &caller.api;
    api.mirror.read(|reference| check_firm(reference, firm))?;
    let asks = [Ask::new(SetAccount {
        firm: FirmId(firm),
        account: AccountId(account),
        enabled: u8::from(setting.enabled),
        ..SetAccount::default()
    })];
    let outcome = api.desk.perform(&caller.who, u64::from(firm), &asks);
    Ok(Json(Done::of(&accepted(outcome.await?)?)))
}
