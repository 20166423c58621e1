curl --location --request GET 'https://api.kod.mobi/api/v2/message/send?session_id=&type=whatsapp' \
--header 'Accept: application/json' \
--header 'Content-Type: application/json'
