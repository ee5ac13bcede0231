use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Browser, STEP, Screen};
use crate::{Error, try_wait_for};

/// A page in a browser. Dropping it closes it.
#[derive(Debug)]
pub struct Tab<'a> {
    browser: &'a mut Browser,
    target: String,
    session: String,
    screen: Screen,
}

impl<'a> Tab<'a> {
    pub(super) fn open(
        browser: &'a mut Browser,
        target: String,
        session: String,
        screen: Screen,
    ) -> Result<Self, Error> {
        let mut tab = Self { browser, target, session, screen };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), &json!({}))?;
        }
        let scheme = if screen.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        tab.call("Emulation.setEmulatedMedia", &json!({ "features": features }))?;
        tab.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !screen.script }))?;
        tab.resize(screen.height)?;
        Ok(tab)
    }

    fn resize(&mut self, height: u32) -> Result<(), Error> {
        let (width, mobile) = (self.screen.width, self.screen.width < 600);
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, Error> {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Goes to an address and waits until everything of the page is there.
    ///
    /// # Errors
    /// [`Error::Tool`] when it cannot be reached, [`Error::Late`] when it does not come.
    pub fn go(&mut self, url: &str) -> Result<(), Error> {
        self.browser.all_told(&self.session, "Page.loadEventFired")?;
        let gone = self.call("Page.navigate", &json!({ "url": url }))?;
        if let Some(error) = gone.get("errorText") {
            return Err(Error::Tool { tool: "Chromium", output: format!("{url}: {error}") });
        }
        self.loaded(STEP)
    }

    /// Waits until the page is loaded again, by itself or because somebody followed a link.
    ///
    /// # Errors
    /// [`Error::Late`] when it is not in time.
    pub fn loaded(&mut self, limit: Duration) -> Result<(), Error> {
        let told = self.browser.told(&self.session, "Page.loadEventFired", limit)?;
        told.map(drop).ok_or_else(|| Error::Late { what: "the page is loaded".to_owned(), limit })
    }

    /// The value of a JavaScript expression, a promise's when it is kept; also where pages may run none.
    ///
    /// # Errors
    /// [`Error::Tool`] with the exception.
    pub fn value(&mut self, expression: &str) -> Result<Value, Error> {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", &params)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(Error::Tool { tool: "JavaScript", output: thrown.to_string() });
        }
        Ok(answer.pointer_mut("/result/value").map(Value::take).unwrap_or_default())
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Errors
    /// [`Error::Late`] when it is not in time.
    pub fn wait_until(&mut self, expression: &str, limit: Duration) -> Result<(), Error> {
        try_wait_for(limit, expression, || Ok((self.value(expression)? == Value::Bool(true)).then_some(())))
    }

    /// Presses a key such as `Tab` or `Enter`.
    ///
    /// # Errors
    /// [`Error::Tool`] when the browser refuses.
    pub fn press(&mut self, key: &str) -> Result<(), Error> {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "ArrowRight" => (39, ""),
            _ => (0, ""),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Writes a picture of the page to a PNG file: of what fits the screen, or of all of it.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn picture(&mut self, file: &Path, all: bool) -> Result<(), Error> {
        let height = self.value("document.documentElement.scrollHeight")?.as_u64();
        if let Some(height) = height.and_then(|height| u32::try_from(height).ok()).filter(|_| all) {
            self.resize(height)?;
        }
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        if all {
            self.resize(self.screen.height)?;
        }
        let data = shot.get("data").and_then(Value::as_str).unwrap_or_default();
        let png = base64::engine::general_purpose::STANDARD.decode(data);
        let png = png.map_err(|error| Error::Tool { tool: "Chromium", output: error.to_string() })?;
        std::fs::write(file, png).map_err(Error::io("write the picture", file))
    }

    /// What the page complained about so far: what it wrote to its console, exceptions, and files that did not come.
    ///
    /// # Errors
    /// [`Error::Tool`] when the browser is gone.
    pub fn complaints(&mut self) -> Result<Vec<String>, Error> {
        let text = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut complaints = Vec::new();
        for entry in self.browser.all_told(&self.session, "Log.entryAdded")? {
            if !["error", "warning"].contains(&text(&entry, "/entry/level").as_str()) {
                continue;
            }
            complaints.push(format!("{} {}", text(&entry, "/entry/text"), text(&entry, "/entry/url")));
        }
        for called in self.browser.all_told(&self.session, "Runtime.consoleAPICalled")? {
            complaints.push(called.to_string());
        }
        for thrown in self.browser.all_told(&self.session, "Runtime.exceptionThrown")? {
            complaints.push(thrown.to_string());
        }
        Ok(complaints)
    }

    /// The addresses that were asked for since the last call.
    ///
    /// # Errors
    /// [`Error::Tool`] when the browser is gone.
    pub fn requests(&mut self) -> Result<Vec<String>, Error> {
        let sent = self.browser.all_told(&self.session, "Network.requestWillBeSent")?;
        let url = |request: &Value| request.pointer("/request/url").and_then(Value::as_str).map(str::to_owned);
        Ok(sent.iter().filter_map(url).collect())
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        // A browser that is gone has closed it.
        let _ = self.browser.call(None, "Target.closeTarget", &json!({ "targetId": self.target }));
    }
}
