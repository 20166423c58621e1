curl --location --request GET 'https://api.kod.mobi/api/v2/message/check?session_id=&code=7032' \
--header 'Accept: application/json' \
--header 'Content-Type: application/json'
