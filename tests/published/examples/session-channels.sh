curl --location 'https://api.kod.mobi/session/channels?session_id=<replace me>' \
  --header 'x-api-key: <replace me>'
