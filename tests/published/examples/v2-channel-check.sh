curl --location --request GET 'https://api.kod.mobi/api/v2/channel/check?session_id=&type=telegram'
