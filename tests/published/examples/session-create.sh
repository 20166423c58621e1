curl --location 'https://api.kod.mobi/session/create' \
    --header 'x-api-key: <replace me>' \
    --data '{
        "to": <replace me>,
        "type": "telegram",
        "send": true
    }'
