package main

import (
    "fmt"
    "io"
    "net/http"
)

func main() { 
    client := &http.Client{}
    req, err := http.NewRequest("GET", "https://api.kod.mobi/session/channels?session_id=<replace me>", nil)

    if err != nil {
        panic(err)
    }
    req.Header.Add("x-api-key", "<replace me>")

    res, err := client.Do(req)
    if err != nil {
        fmt.Println(err)
        return
    }
    defer res.Body.Close()

    body, err := io.ReadAll(res.Body)
    if err != nil {
        panic(err)
    }
    fmt.Println(string(body))
}
