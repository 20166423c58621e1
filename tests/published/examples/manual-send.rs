#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = r#"{
        "to": "<replace me>",
        "channel": "email",
        "provider_id": 1,
        "code": "0000",
        "callback_url": "<replace me>"
    }"#;

    let client = reqwest::Client::builder()
        .build()?;

    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("x-api-key", "<replace me>".into());

    let request = client.request(reqwest::Method::POST, "https://api.kod.mobi/manual/send")
        .headers(headers);

    let response = request.send().await?;
    let body = response.text().await?;

    println!("{}", body);

    Ok(())
}
