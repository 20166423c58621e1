curl --location --request GET 'https://api.kod.mobi/api/v2/message/create?phone=79522966236&type=telegram'
