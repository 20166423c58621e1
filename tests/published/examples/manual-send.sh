curl --location 'https://api.kod.mobi/manual/send' \
    --header 'x-api-key: <replace me>' \
    --data-raw '{
        "to": "<replace me>",
        "channel": "email",
        "provider_id": 1,
        "code": "0000",
        "callback_url": "<replace me>"
    }'
