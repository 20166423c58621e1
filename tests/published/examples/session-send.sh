curl --location 'https://api.kod.mobi/session/send' \
    --header 'x-api-key: <replace me>' \
    --data '{
        "session_id": "<replace me>",
        "type": "telegram"
    }'
